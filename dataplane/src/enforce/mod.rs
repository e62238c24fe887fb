//! Plan, apply, read back, take back.
