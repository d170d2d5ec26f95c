//! The Lua scripts, loaded once and called by their hash.

use redis::Script;

pub(crate) struct Scripts {
    pub admit: Script,
    pub release: Script,
    pub learn: Script,
    pub install: Script,
    pub sold_out: Script,
    pub return_leaked: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            admit: Script::new(include_str!("lua/admit.lua")),
            release: Script::new(include_str!("lua/release.lua")),
            learn: Script::new(include_str!("lua/learn.lua")),
            install: Script::new(include_str!("lua/install.lua")),
            sold_out: Script::new(include_str!("lua/sold_out.lua")),
            return_leaked: Script::new(include_str!("lua/return_leaked.lua")),
        }
    }
}
