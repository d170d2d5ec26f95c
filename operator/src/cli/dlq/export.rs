//! `headgate dlq export`.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};

use headgate_schemas::ids::DeadLetterId;

use super::Export;
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::progress::Bar;
use crate::dead_letters::export::Export as Page;

/// Letters of one request.
const LETTERS_PER_REQUEST: u32 = 200;

impl Export {
    pub(super) async fn run(self) -> Result<(), Error> {
        let client = Client::operator()?;
        let mut to: BufWriter<Box<dyn Write>> = BufWriter::new(match &self.file {
            Some(path) => Box::new(File::create_new(path)?),
            None => Box::new(io::stdout().lock()),
        });
        match self.write_all(&client, &mut to).await {
            // `headgate dlq export | head` is no failure.
            Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    async fn write_all(&self, client: &Client, to: &mut impl Write) -> Result<(), Error> {
        let state = Some(self.state.clone()).filter(|state| state != "any");
        let mut cursor: Option<DeadLetterId> = None;
        let mut bar: Option<Bar> = None;
        let mut letters = 0;
        loop {
            let query = self.matching.query([
                ("state", state.clone()),
                ("limit", Some(LETTERS_PER_REQUEST.to_string())),
                ("cursor", cursor.map(|cursor| cursor.to_string())),
            ]);
            let page: Page = client.get("/v1/dead-letters/export", &query).await?;
            for letter in &page.items {
                serde_json::to_writer(&mut *to, letter).map_err(io::Error::from)?;
                to.write_all(b"\n")?;
            }
            to.flush()?;
            letters += page.items.len();
            bar.get_or_insert_with(|| Bar::start("exporting", page.total))
                .advance(page.items.len());
            cursor = page.next_cursor;
            if cursor.is_none() {
                drop(bar);
                eprintln!("{letters} letters");
                return Ok(());
            }
        }
    }
}
