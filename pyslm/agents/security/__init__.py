"""What agents may do and see: policies, filters, privacy, and the audit log."""
