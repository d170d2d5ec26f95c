//! The events of the topic [`crate::topics::POINTS`]. Each mirrors one schema in
//! `schemas/avro/points/`, field by field; a test compares the two. Each but
//! [`PointsExpiring`] is an entry of the wallet's ledger, and says the balance that it left.

use super::{Timestamp, topic_events};
use crate::ids::{PartnerId, PointKey, TransferId, WalletId};

topic_events! {
    PointsEvent, POINTS, "points":

    /// Points were granted to a user.
    PointsAccumulated, "points-accumulated", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// Until when they can be spent.
        expires_at: Timestamp,
        /// Why, in the partner's words; empty if it did not say.
        reason: String,
        /// When.
        accumulated_at: Timestamp,
    }

    /// Points were paid for.
    PointsCharged, "points-charged", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// Until when they can be spent.
        expires_at: Timestamp,
        /// The payment.
        reference: String,
        /// When.
        charged_at: Timestamp,
    }

    /// Points were spent.
    PointsUsed, "points-used", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// What for, in the partner's words; empty if it did not say.
        reference: String,
        /// When.
        used_at: Timestamp,
    }

    /// Spent points came back, wholly or in part.
    PointsUseCancelled, "points-use-cancelled", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// The movement that was cancelled.
        cancels: PointKey,
        /// When.
        cancelled_at: Timestamp,
    }

    /// Granted points were taken back, as far as they were not spent.
    PointsAccumulationCancelled, "points-accumulation-cancelled", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// The movement that was cancelled.
        cancels: PointKey,
        /// When.
        cancelled_at: Timestamp,
    }

    /// Points went from one user to another. Each of the two wallets has an event.
    PointsTransferred, "points-transferred", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// The transfer; the other wallet's event has it, too.
        transfer_id: TransferId,
        /// `sent` or `received`.
        direction: String,
        /// The partner's own name of the other user.
        other_user_id: String,
        /// When.
        transferred_at: Timestamp,
    }

    /// Points ran out unspent.
    PointsExpired, "points-expired", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// The movement.
        point_key: PointKey,
        /// How many, above 0.
        amount: i64,
        /// What the wallet holds after it.
        balance: i64,
        /// Number of the entry in the wallet's ledger: 1, 2, 3, ... without a gap.
        entry_no: i64,
        /// When they were taken out of the balance.
        expired_at: Timestamp,
    }

    /// Points of a wallet will run out soon. Not an entry of the ledger.
    PointsExpiring, "points-expiring", Wallet(wallet_id), {
        /// The wallet. Key of the record.
        wallet_id: WalletId,
        /// The partner.
        partner_id: PartnerId,
        /// The partner's own name of the user.
        user_id: String,
        /// How many, above 0.
        amount: i64,
        /// When the first of them run out.
        expires_at: Timestamp,
        /// What the wallet holds now.
        balance: i64,
        /// When this was found.
        noticed_at: Timestamp,
    }
}
