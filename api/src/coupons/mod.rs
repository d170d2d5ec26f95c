//! Coupons: a user's list, using one on an order, giving it back.

mod answer;
mod change;
mod list;

pub use answer::CouponBody;
pub use change::{__path_restore_coupon, __path_use_coupon, restore_coupon, use_coupon};
pub use list::{__path_list_coupons, list_coupons};
