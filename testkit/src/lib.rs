//! headgate-testkit
