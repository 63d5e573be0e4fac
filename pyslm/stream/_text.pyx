# cython: embedsignature=True
"""The per-token text path."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8Stateful(
        const char *data, Py_ssize_t size, const char *errors, Py_ssize_t *consumed)


cdef class Utf8Joiner:
    """Joins a stream of bytes into text without ever splitting a character.

    The results of all `push` calls and of `finish`, concatenated, equal
    `whole.decode("utf-8", "replace")`, however the whole was cut.
    """

    cdef bytes _pending  # the beginning of a character, at most 3 bytes

    def __cinit__(self):
        self._pending = b""

    def push(self, bytes chunk not None):
        """The text that `chunk` completes; an unfinished character waits for the next."""
        cdef bytes data = self._pending + chunk if self._pending else chunk
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        # Python up to 3.11.4 (Debian 12) leaves this as it is where all is ASCII: CPython gh-99612.
        cdef Py_ssize_t consumed = size
        text = PyUnicode_DecodeUTF8Stateful(PyBytes_AS_STRING(data), size, b"replace", &consumed)
        self._pending = data[consumed:] if consumed < size else b""
        return text

    def finish(self):
        """The replacement of what never completed, or nothing; then starts anew."""
        pending, self._pending = self._pending, b""
        return pending.decode("utf-8", "replace")
