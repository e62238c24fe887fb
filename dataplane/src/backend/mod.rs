//! Backends: whatever makes a host behave as the tables say.
