//! headgate-relay
