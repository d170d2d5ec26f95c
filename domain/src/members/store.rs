//! The SQL of members, their sessions, and of the keys that sign their tokens.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{MemberId, PartnerId, SessionId};
use headgate_schemas::names::UserId;
use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::{Login, Member, RefreshHash, Refreshed, Session, SigningKey};
use crate::Error;

/// Makes a member of the partner; `None` if there is no such partner, or the login is taken.
pub async fn create(
    pool: &MySqlPool,
    partner_id: PartnerId,
    login: &Login,
    password_hash: &str,
) -> Result<Option<MemberId>, Error> {
    let member_id = MemberId::generate();
    let created = sqlx::query!(
        "INSERT INTO members (member_id, partner_no, login, user_id, password_hash, created_at)
         SELECT ?, partner_no, ?, ?, ?, UTC_TIMESTAMP(6) FROM partners WHERE partner_id = ?",
        member_id,
        login.as_str(),
        member_id.to_string(),
        password_hash,
        partner_id
    )
    .execute(pool)
    .await;
    match created {
        Ok(created) => Ok((created.rows_affected() == 1).then_some(member_id)),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The member who logs in with this name, and the hash of the password.
pub async fn find_by_login(
    on: impl MySqlExecutor<'_>,
    partner_id: PartnerId,
    login: &Login,
) -> Result<Option<(Member, String)>, Error> {
    let found = sqlx::query!(
        r#"SELECT m.member_no, m.member_id AS "member_id: MemberId", m.partner_no, m.user_id, m.password_hash
           FROM members m JOIN partners p ON p.partner_no = m.partner_no
           WHERE p.partner_id = ? AND m.login = ?"#,
        partner_id,
        login.as_str()
    )
    .fetch_optional(on)
    .await?;
    Ok(found.map(|row| {
        let member = Member {
            member_no: row.member_no,
            member_id: row.member_id,
            partner_no: row.partner_no,
            partner_id,
            user_id: UserId::from_stored(row.user_id.into_bytes()),
        };
        (member, row.password_hash)
    }))
}

/// Opens a session that ends after `lives`, with its first refresh token.
pub async fn open_session(
    transaction: &mut Transaction<'_, MySql>,
    member: Member,
    token: &RefreshHash,
    now: DateTime<Utc>,
    lives: Duration,
) -> Result<Session, Error> {
    let session_id = SessionId::generate();
    let expires_at = now + lives;
    sqlx::query!(
        "INSERT INTO member_sessions (session_id, member_no, created_at, expires_at) VALUES (?, ?, ?, ?)",
        session_id,
        member.member_no,
        now,
        expires_at
    )
    .execute(&mut **transaction)
    .await?;
    issue(transaction, session_id, token, now).await?;
    Ok(Session {
        session_id,
        member,
        expires_at,
    })
}

async fn issue(
    transaction: &mut Transaction<'_, MySql>,
    session_id: SessionId,
    token: &RefreshHash,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO refresh_tokens (token_hash, session_id, issued_at) VALUES (?, ?, ?)",
        token.as_slice(),
        session_id,
        now
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Takes a refresh token for the next one. One that was used before ends its session: either the
/// member or a thief has the one that followed, and nobody knows who.
pub async fn refresh(
    transaction: &mut Transaction<'_, MySql>,
    presented: &RefreshHash,
    next: &RefreshHash,
    now: DateTime<Utc>,
) -> Result<Refreshed, Error> {
    // Both rows are locked: of two who present a token at once, the second finds it used.
    let found = sqlx::query!(
        r#"SELECT t.used_at AS "used_at: DateTime<Utc>", s.session_id AS "session_id: SessionId",
               s.expires_at AS "expires_at: DateTime<Utc>", s.ended_at AS "ended_at: DateTime<Utc>",
               m.member_no, m.member_id AS "member_id: MemberId", m.partner_no, m.user_id,
               p.partner_id AS "partner_id: PartnerId"
           FROM refresh_tokens t JOIN member_sessions s ON s.session_id = t.session_id
               JOIN members m ON m.member_no = s.member_no JOIN partners p ON p.partner_no = m.partner_no
           WHERE t.token_hash = ? FOR UPDATE OF t, s"#,
        presented.as_slice()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(row) = found else {
        return Ok(Refreshed::Refused);
    };
    if row.ended_at.is_some() || row.expires_at <= now {
        return Ok(Refreshed::Refused);
    }
    if row.used_at.is_some() {
        end(transaction, row.session_id, "reuse", now).await?;
        return Ok(Refreshed::Reused(row.session_id));
    }
    sqlx::query!(
        "UPDATE refresh_tokens SET used_at = ? WHERE token_hash = ?",
        now,
        presented.as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    issue(transaction, row.session_id, next, now).await?;
    Ok(Refreshed::On(Session {
        session_id: row.session_id,
        member: Member {
            member_no: row.member_no,
            member_id: row.member_id,
            partner_no: row.partner_no,
            partner_id: row.partner_id,
            user_id: UserId::from_stored(row.user_id.into_bytes()),
        },
        expires_at: row.expires_at,
    }))
}

/// Ends a session, unless it has ended.
pub async fn log_out(
    transaction: &mut Transaction<'_, MySql>,
    session_id: SessionId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    end(transaction, session_id, "logout", now).await
}

async fn end(
    transaction: &mut Transaction<'_, MySql>,
    session_id: SessionId,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE member_sessions SET ended_at = ?, ended_by = ? WHERE session_id = ? AND ended_at IS NULL",
        now,
        by,
        session_id
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Sessions that ended within the last `window` before their time, up to `limit`.
pub async fn ended_lately(pool: &MySqlPool, window: Duration, limit: u32) -> Result<Vec<SessionId>, Error> {
    let ended = sqlx::query_scalar!(
        r#"SELECT session_id AS "session_id: SessionId" FROM member_sessions
           WHERE ended_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND ORDER BY ended_at DESC LIMIT ?"#,
        window.as_secs(),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(ended)
}

/// Removes sessions whose time is up, with their tokens, up to `limit`; how many.
pub async fn remove_expired(pool: &MySqlPool, limit: u32) -> Result<u64, Error> {
    let removed = sqlx::query!(
        "DELETE FROM member_sessions WHERE expires_at < UTC_TIMESTAMP(6) ORDER BY expires_at LIMIT ?",
        limit
    )
    .execute(pool)
    .await?;
    Ok(removed.rows_affected())
}

/// Makes the key of a period, unless somebody else has.
pub async fn make_signing_key(pool: &MySqlPool, key: &SigningKey) -> Result<(), Error> {
    sqlx::query!(
        "INSERT IGNORE INTO signing_keys (period, kid, secret) VALUES (?, ?, ?)",
        key.period,
        key.kid.as_slice(),
        key.secret.as_slice()
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The keys of this period and later ones, up to `limit`.
pub async fn signing_keys(pool: &MySqlPool, from_period: u32, limit: u32) -> Result<Vec<SigningKey>, Error> {
    let rows = sqlx::query!(
        "SELECT period, kid, secret FROM signing_keys WHERE period >= ? ORDER BY period DESC LIMIT ?",
        from_period,
        limit
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let corrupt = |_| Error::Corrupt {
                what: "signing key",
                why: "it has the wrong length".to_owned(),
            };
            Ok(SigningKey {
                period: row.period,
                kid: row.kid.try_into().map_err(corrupt)?,
                secret: row.secret.try_into().map_err(corrupt)?,
            })
        })
        .collect()
}
