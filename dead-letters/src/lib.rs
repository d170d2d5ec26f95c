//! headgate-dead-letters
