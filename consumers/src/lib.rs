//! headgate-consumers
