//! headgate-admission
