"""A sale that shows the product at work: few coupons, many users, and what became of them."""
