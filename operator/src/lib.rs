//! headgate-operator
