//! headgate-api
