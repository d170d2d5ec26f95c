//! What members send.

use headgate_domain::members::{Login, Password, RefreshText};
use headgate_schemas::ids::PartnerId;
use utoipa::ToSchema;

use crate::request::{Fields, ReadBody, parsed, text};

/// A member's login name and password.
#[derive(ToSchema)]
pub struct Credentials {
    /// The shop.
    #[schema(value_type = uuid::Uuid)]
    pub partner_id: PartnerId,
    /// An e-mail address, mostly; capital letters mean the same as small ones.
    #[schema(value_type = String, min_length = 1, max_length = 254, example = "anna@example.com")]
    pub login: Login,
    /// 8 to 128 characters.
    #[schema(value_type = String, format = "password", min_length = 8, max_length = 128)]
    pub password: Password,
}

impl ReadBody for Credentials {
    fn read(fields: &mut Fields) -> Option<Self> {
        let partner_id = fields.required("partner_id", |value| parsed(text(value)?.parse()));
        let login = fields.required("login", |value| parsed(Login::new(text(value)?)));
        let password = fields.required("password", |value| parsed(Password::new(text(value)?)));
        Some(Self {
            partner_id: partner_id?,
            login: login?,
            password: password?,
        })
    }
}

/// The refresh token that was given last.
#[derive(ToSchema)]
pub struct Refresh {
    /// Good once.
    #[schema(value_type = String, format = "password")]
    pub refresh_token: Option<RefreshText>,
}

impl ReadBody for Refresh {
    fn read(fields: &mut Fields) -> Option<Self> {
        // What cannot be a token is nobody's: 401, as for an unknown one.
        let refresh_token =
            fields.required("refresh_token", |value| Ok(RefreshText::presented(text(value)?)));
        Some(Self {
            refresh_token: refresh_token?,
        })
    }
}
