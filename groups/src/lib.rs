//! headgate-groups
