//! headgate-guarantees
