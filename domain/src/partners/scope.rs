//! What a key may do.

use std::fmt;
use std::str::FromStr;

/// One permission. To write implies to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read the partner's campaigns.
    CampaignsRead,
    /// Register and change campaigns.
    CampaignsWrite,
    /// Read claims.
    ClaimsRead,
    /// Claim for a user.
    ClaimsWrite,
    /// Read users' coupons.
    CouponsRead,
    /// Use coupons and give them back.
    CouponsWrite,
    /// Read users' points.
    PointsRead,
    /// Spend points, cancel and transfer them.
    PointsWrite,
    /// Grant points: what creates value.
    PointsEarn,
    /// Read the partner's subscriptions.
    SubscriptionsRead,
    /// Make, change and end subscriptions.
    SubscriptionsWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 11] = [
        Self::CampaignsRead,
        Self::CampaignsWrite,
        Self::ClaimsRead,
        Self::ClaimsWrite,
        Self::CouponsRead,
        Self::CouponsWrite,
        Self::PointsRead,
        Self::PointsWrite,
        Self::PointsEarn,
        Self::SubscriptionsRead,
        Self::SubscriptionsWrite,
    ];

    /// The name in tables, on the command line and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CampaignsRead => "campaigns:read",
            Self::CampaignsWrite => "campaigns:write",
            Self::ClaimsRead => "claims:read",
            Self::ClaimsWrite => "claims:write",
            Self::CouponsRead => "coupons:read",
            Self::CouponsWrite => "coupons:write",
            Self::PointsRead => "points:read",
            Self::PointsWrite => "points:write",
            Self::PointsEarn => "points:earn",
            Self::SubscriptionsRead => "subscriptions:read",
            Self::SubscriptionsWrite => "subscriptions:write",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }

    /// The scope itself, and what it implies.
    const fn bits(self) -> u16 {
        match self {
            Self::CampaignsWrite => self.bit() | Self::CampaignsRead.bit(),
            Self::ClaimsWrite => self.bit() | Self::ClaimsRead.bit(),
            Self::CouponsWrite => self.bit() | Self::CouponsRead.bit(),
            Self::PointsWrite => self.bit() | Self::PointsRead.bit(),
            Self::SubscriptionsWrite => self.bit() | Self::SubscriptionsRead.bit(),
            Self::CampaignsRead
            | Self::ClaimsRead
            | Self::CouponsRead
            | Self::PointsRead
            | Self::PointsEarn
            | Self::SubscriptionsRead => self.bit(),
        }
    }
}

/// No scope has this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no scope")]
pub struct UnknownScope(String);

/// A set of scopes; as text their names, separated by spaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Everything a partner may do.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is granted.
    pub const fn allow(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bits()))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        text.split_ascii_whitespace()
            .map(|name| {
                let known = Scope::ALL.into_iter().find(|scope| scope.as_str() == name);
                known.ok_or_else(|| UnknownScope(name.to_owned()))
            })
            .collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = Scope::ALL.into_iter().filter(|scope| self.allow(*scope));
        for (index, scope) in granted.enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_write_implies_to_read_and_nothing_else() {
        let scopes: Scopes = "coupons:write".parse().expect("a scope");
        let granted: Vec<_> = Scope::ALL.into_iter().filter(|s| scopes.allow(*s)).collect();
        assert_eq!(granted, [Scope::CouponsRead, Scope::CouponsWrite]);
    }

    #[test]
    fn scopes_survive_text() {
        assert_eq!(Scopes::all().to_string().parse(), Ok(Scopes::all()));
        assert_eq!("".parse(), Ok(Scopes::default()));
        let unknown = "claims:write everything".parse::<Scopes>();
        assert_eq!(unknown, Err(UnknownScope("everything".into())));
    }
}
