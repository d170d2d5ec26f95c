//! Whom a request is counted for.

use headgate_domain::members::Login;
use headgate_domain::partners::Principal;
use headgate_schemas::ids::PartnerId;

use super::address::ClientAddress;
use super::bucket::Limit;
use super::config::Config;

/// A kind of limit: the label `limit`. Their order is the order of locking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Address,
    User,
    Stranger,
    Login,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Key, Self::Address, Self::User, Self::Stranger, Self::Login];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Address => "address",
            Self::User => "user",
            Self::Stranger => "stranger",
            Self::Login => "login",
        }
    }

    pub const fn detail(self) -> &'static str {
        match self {
            Self::Key => "the limit `key` is reached: too many requests under this key",
            Self::Address => "the limit `address` is reached: too many requests from this address",
            Self::User => "the limit `user` is reached: too many requests for this user",
            Self::Login => "the limit `login` is reached: too many attempts from this address",
            Self::Stranger => {
                "the limit `address` is reached: too many requests without a valid key from this address"
            }
        }
    }
}

/// Whom a request is counted for.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'s> {
    /// The key that was presented.
    Key(&'s Principal),
    /// The address it was presented from. Each partner counts by itself: who floods one is no
    /// reason to refuse another behind the same address.
    Address(&'s Principal, ClientAddress),
    /// The partner's user that the request is about.
    User(&'s Principal, &'s str),
    /// Somebody without a valid key, by address.
    Stranger(ClientAddress),
    /// Somebody who tries a password, by address and login name together: nobody locks out another.
    Login(PartnerId, &'s Login, ClientAddress),
}

impl Subject<'_> {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Key(_) => Kind::Key,
            Self::Address(..) => Kind::Address,
            Self::User(..) => Kind::User,
            Self::Stranger(_) => Kind::Stranger,
            Self::Login(..) => Kind::Login,
        }
    }

    /// The key's own, or else the settings'; `None` without a limit.
    pub(super) fn limit(&self, config: &Config) -> Option<Limit> {
        let (own, usual) = match self {
            Self::Key(principal) => (principal.rates.key, config.key),
            Self::Address(principal, _) => (principal.rates.address, config.address),
            Self::User(principal, _) => (principal.rates.user, config.user),
            Self::Stranger(_) => (None, config.stranger),
            Self::Login(..) => return Limit::slow(config.login),
        };
        own.map_or_else(|| Limit::new(usual), Limit::own)
    }

    /// The bucket's name, here and in Redis.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Key(principal) => format!("k:{}", principal.key_id),
            Self::Address(principal, address) => format!("a:{}:{address}", principal.partner_no),
            Self::User(principal, user) => format!("u:{}:{user}", principal.partner_no),
            Self::Stranger(address) => format!("s:{address}"),
            Self::Login(partner, login, address) => format!("l:{partner}:{address}:{}", login.as_str()),
        }
    }
}
