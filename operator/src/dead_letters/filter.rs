//! Which letters, as requests say it. What is listed, grouped and replayed is asked for by
//! the same fields; serde cannot flatten one struct into several and refuse unknown fields,
//! so that a macro writes them.

/// A request's struct: the fields of every filter, and its own.
macro_rules! letter_filter {
    ($(#[$doc:meta])* $name:ident { $($(#[$own_doc:meta])* $own:ident: $of:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
        #[derive(utoipa::IntoParams, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Name of the group.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub group: Option<String>,
            /// `poison`, `rejected`, `exhausted` or `parked`.
            #[param(value_type = Option<String>)]
            #[schema(value_type = Option<String>)]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub disposition: Option<headgate_dead_letters::Disposition>,
            /// Class of the error.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub error_class: Option<String>,
            /// Event type.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub event_type: Option<String>,
            /// The record's key.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub key: Option<String>,
            /// The cause: 32 hexadecimal digits.
            #[param(value_type = Option<String>)]
            #[schema(value_type = Option<String>)]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub fingerprint: Option<headgate_dead_letters::Fingerprint>,
            /// First failure at this moment or later.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub since: Option<chrono::DateTime<chrono::Utc>>,
            /// First failure before this moment.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub until: Option<chrono::DateTime<chrono::Utc>>,
            /// A part of the error, as it is written there: 1 to 256 characters.
            #[param(value_type = Option<String>)]
            #[schema(value_type = Option<String>)]
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub text: Option<headgate_dead_letters::ErrorPart>,
            /// Schema id that the value names in Confluent's wire format.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub schema_id: Option<u32>,
            $(
                $(#[$own_doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $own: $of,
            )*
        }

        impl $name {
            /// The letters of any state that the fields of every filter ask for.
            pub(crate) fn letters(self) -> headgate_dead_letters::LetterFilter {
                headgate_dead_letters::LetterFilter {
                    group: self.group,
                    state: None,
                    disposition: self.disposition,
                    error_class: self.error_class,
                    event_type: self.event_type,
                    key: self.key.map(String::into_bytes),
                    fingerprint: self.fingerprint,
                    since: self.since,
                    until: self.until,
                    text: self.text,
                    schema_id: self.schema_id,
                    parked: None,
                }
            }
        }
    };
}

pub(crate) use letter_filter;
