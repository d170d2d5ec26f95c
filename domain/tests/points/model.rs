//! The simplest thing that points could be: each point is a token that knows its lot and its
//! hour. Shares nothing with the product but the names of the refusals.

use std::collections::BTreeMap;

use headgate_domain::points::Refusal;

/// Hours that points are valid which come back too late.
pub const VALID_FOR_HOURS: i64 = 5;

/// One point. Tokens of a wallet are spent in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Token {
    expires: i64,
    lot: usize,
}

#[derive(Clone, Debug)]
struct Used {
    wallet: usize,
    /// In the order in which they were taken; what came back is gone from the end.
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    wallets: BTreeMap<usize, Vec<Token>>,
    lots: usize,
    uses: Vec<Used>,
    /// Wallet and lot of each earn.
    earns: Vec<(usize, usize)>,
}

impl Model {
    fn put(&mut self, wallet: usize, amount: u64, expires: i64) -> usize {
        self.lots += 1;
        let lot = self.lots;
        let tokens = self.wallets.entry(wallet).or_default();
        tokens.extend((0..amount).map(|_| Token { expires, lot }));
        tokens.sort_unstable();
        lot
    }

    fn take(&mut self, wallet: usize, amount: u64, now: i64) -> Result<Vec<Token>, Refusal> {
        let tokens = self.wallets.entry(wallet).or_default();
        let (valid, over): (Vec<Token>, Vec<Token>) = tokens.iter().partition(|token| token.expires > now);
        let amount = usize::try_from(amount).expect("few");
        if valid.len() < amount {
            return Err(Refusal::Insufficient {
                available: valid.len() as u64,
            });
        }
        let (taken, left) = valid.split_at(amount);
        *tokens = [over.as_slice(), left].concat();
        tokens.sort_unstable();
        Ok(taken.to_vec())
    }

    pub fn earn(&mut self, wallet: usize, amount: u64, expires: i64) {
        let lot = self.put(wallet, amount, expires);
        self.earns.push((wallet, lot));
    }

    pub fn spend(&mut self, wallet: usize, amount: u64, now: i64) -> Result<u64, Refusal> {
        let tokens = self.take(wallet, amount, now)?;
        self.uses.push(Used { wallet, tokens });
        Ok(amount)
    }

    pub fn cancel_use(&mut self, number: usize, amount: Option<u64>, now: i64) -> Result<u64, Refusal> {
        let used = &mut self.uses[number];
        let left = used.tokens.len() as u64;
        let amount = amount.unwrap_or(left);
        if amount == 0 || amount > left {
            return Err(Refusal::CancelExceeds { left });
        }
        let stay = used.tokens.len() - usize::try_from(amount).expect("few");
        let back = used.tokens.split_off(stay);
        let wallet = used.wallet;
        // What is too late comes back as one lot for each that it was taken from.
        let mut late: Vec<(usize, u64)> = Vec::new();
        for token in back.into_iter().rev() {
            if token.expires > now {
                self.wallets.entry(wallet).or_default().push(token);
            } else if let Some((_, amount)) = late.last_mut().filter(|(lot, _)| *lot == token.lot) {
                *amount += 1;
            } else {
                late.push((token.lot, 1));
            }
        }
        for (_, amount) in late {
            self.put(wallet, amount, now + VALID_FOR_HOURS);
        }
        self.wallets.entry(wallet).or_default().sort_unstable();
        Ok(amount)
    }

    pub fn cancel_earn(&mut self, number: usize, amount: Option<u64>, now: i64) -> Result<u64, Refusal> {
        let (wallet, lot) = self.earns[number];
        let tokens = self.wallets.entry(wallet).or_default();
        let is_left = |token: &Token| token.lot == lot && token.expires > now;
        let left = tokens.iter().filter(|token| is_left(token)).count() as u64;
        let amount = amount.unwrap_or(left);
        if amount == 0 || amount > left {
            return Err(Refusal::CancelExceeds { left });
        }
        let mut missing = amount;
        tokens.retain(|token| {
            let goes = missing > 0 && is_left(token);
            missing -= u64::from(goes);
            !goes
        });
        Ok(amount)
    }

    pub fn transfer(&mut self, from: usize, to: usize, amount: u64, now: i64) -> Result<u64, Refusal> {
        let mut lots: Vec<(Token, u64)> = Vec::new();
        for token in self.take(from, amount, now)? {
            match lots.last_mut() {
                Some((last, amount)) if *last == token => *amount += 1,
                _ => lots.push((token, 1)),
            }
        }
        for (token, amount) in lots {
            self.put(to, amount, token.expires);
        }
        Ok(amount)
    }

    /// How many points run out.
    pub fn expire(&mut self, now: i64) -> u64 {
        let mut expired = 0;
        for tokens in self.wallets.values_mut() {
            let before = tokens.len();
            tokens.retain(|token| token.expires > now);
            expired += (before - tokens.len()) as u64;
        }
        expired
    }

    /// What can be spent.
    pub fn balance(&self, wallet: usize, now: i64) -> u64 {
        let tokens = self.wallets.get(&wallet).map_or(&[][..], Vec::as_slice);
        tokens.iter().filter(|token| token.expires > now).count() as u64
    }

    pub const fn uses(&self) -> usize {
        self.uses.len()
    }

    pub const fn earns(&self) -> usize {
        self.earns.len()
    }
}
