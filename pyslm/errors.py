"""Every error that pyslm raises on purpose.

::

    PyslmError
    ├── ModelFileError            cannot open or read a model file          (also OSError)
    │   ├── ModelNotFoundError    no such model or file                     (also FileNotFoundError)
    │   │   └── ModelNotDownloadedError   known, but not on this machine: `pyslm pull` brings it
    │   └── DownloadError         a model could not be brought here, and why
    ├── GGUFError                 the file breaks a rule of the GGUF format (also ValueError)
    ├── UnsupportedModelError     a valid model that pyslm cannot run; names what it can
    ├── InsufficientMemoryError   refused before allocating, with the numbers (also MemoryError)
    ├── InvalidRequestError       an argument out of its range              (also ValueError)
    │   ├── ContextLengthError    prompt and output do not fit the context
    │   ├── ModelNameError        a text that names no model, or may not
    │   └── AgentConfigError      an agent or a tool that is set up wrongly   (also TypeError)
    │       └── DeploymentError   a deployment file, with its line
    ├── TokenizerError            a vocabulary we cannot build or a text it cannot encode
    ├── ChatTemplateError         a template that fails, loops or escapes
    ├── PrefixCacheError          a saved prefix cache that cannot be used here (also ValueError)
    ├── ServiceError              the background service cannot be started, found or ended
    ├── AgentError                an agent cannot go on
    │   ├── ModelCallError        its model cannot be reached, refuses or takes too long
    │   ├── ReplyError            the model's reply is not what was asked for
    │   ├── ToolServerError       an MCP server cannot be started or reached, or fails
    │   ├── SessionError          a file of sessions cannot be used
    │   ├── OfflineError          a tool needs the network, there is none, and nothing was done
    │   │                                                                   (also ConnectionError)
    │   ├── AccessDeniedError     a policy or the privacy mode forbids it   (also PermissionError)
    │   └── AuditError            an audit log that cannot be written or trusted
    └── EngineError               a defect or a fault while running
        └── QueueFullError        as many requests wait as are allowed; try again later

Each message says what was seen, what is allowed and what to do.
"""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "AgentConfigError",
    "AgentError",
    "AuditError",
    "ChatTemplateError",
    "ContextLengthError",
    "DeploymentError",
    "DownloadError",
    "EngineError",
    "GGUFError",
    "InsufficientMemoryError",
    "InvalidRequestError",
    "ModelCallError",
    "ModelFileError",
    "ModelNameError",
    "ModelNotDownloadedError",
    "ModelNotFoundError",
    "OfflineError",
    "PrefixCacheError",
    "PyslmError",
    "QueueFullError",
    "ReplyError",
    "ServiceError",
    "SessionError",
    "TokenizerError",
    "ToolServerError",
    "UnsupportedModelError",
]


class PyslmError(Exception):
    """Root of every error of pyslm."""


class ModelFileError(PyslmError, OSError):
    """A model file cannot be opened or read."""


class ModelNotFoundError(ModelFileError, FileNotFoundError):
    """No such model or file."""


class ModelNotDownloadedError(ModelNotFoundError):
    """A model that is known by name but is not on this machine; nothing is fetched unasked."""


class DownloadError(ModelFileError):
    """A model could not be brought here: the network, the hub's refusal, the disk, a wrong hash."""


class GGUFError(PyslmError, ValueError):
    """A file breaks a rule of the GGUF format."""


class UnsupportedModelError(PyslmError):
    """A valid model with an architecture, format or option that pyslm does not run."""


class InsufficientMemoryError(PyslmError, MemoryError):
    """Refused before allocating: the message gives what is needed and what there is."""


class InvalidRequestError(PyslmError, ValueError):
    """An argument out of its range."""


class ContextLengthError(InvalidRequestError):
    """Prompt and output do not fit the context."""


class ModelNameError(InvalidRequestError):
    """A text that cannot be the name of a model."""


class TokenizerError(PyslmError):
    """A vocabulary that cannot be built, or a text that it cannot encode."""


class ChatTemplateError(PyslmError):
    """A chat template that fails, runs too long or writes too much."""


class PrefixCacheError(PyslmError, ValueError):
    """A saved prefix cache that is damaged, or of another model, setting, machine or build."""


class ServiceError(PyslmError):
    """The service in the background cannot be started, found, asked or ended."""


class AgentConfigError(InvalidRequestError, TypeError):
    """An agent or a tool that is set up in a way that cannot work; nothing was started."""


class DeploymentError(AgentConfigError):
    """A deployment file that says what is not allowed, or needs what is not there."""


class AgentError(PyslmError):
    """An agent cannot go on."""


class ModelCallError(AgentError):
    """An agent's model cannot be reached, refuses the request, or takes too long."""


class ReplyError(AgentError):
    """The model's reply is not what was asked for, such as JSON under a schema."""


class ToolServerError(AgentError):
    """An MCP server cannot be started or reached, does not answer, or says what it must not."""


class SessionError(AgentError):
    """A file of sessions that is damaged, of a newer version, or cannot be written."""


class OfflineError(AgentError, ConnectionError):
    """A tool needs the network and there is none; nothing was done. Tools raise it, too."""


class AccessDeniedError(AgentError, PermissionError):
    """A policy, or the privacy mode, forbids it; the message says which rule."""


class AuditError(AgentError):
    """An audit log that cannot be written, or does not hold what was sealed."""


class EngineError(PyslmError):
    """A defect or a fault while running."""


class QueueFullError(EngineError):
    """As many requests run and wait as are allowed; the message gives the numbers."""
