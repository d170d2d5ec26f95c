//! headgate-domain
