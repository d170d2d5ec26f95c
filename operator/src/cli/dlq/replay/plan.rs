//! `headgate dlq plan`.

use comfy_table::Table;
use headgate_dead_letters::{Disposition, ErrorPart};

use super::Plan;
use super::show::cause_table;
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::dlq::Matching;
use crate::cli::output::{Output, fields, maybe};
use crate::cli::progress::Spinner;
use crate::replays::plan::{PlanAsked, ReplayFilter};
use crate::replays::{PaceAsked, ReplayView};

impl Plan {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let replay = plan(&client, &self.matching, self.pace.asked()).await?;
        output.print(&replay, plan_table)?;
        say(&replay);
        Ok(())
    }
}

/// Plans a replay of what matches.
pub(super) async fn plan(client: &Client, matching: &Matching, pace: PaceAsked) -> Result<ReplayView, Error> {
    let asked = PlanAsked {
        filter: filter(matching)?,
        pace,
    };
    let _planning = Spinner::start("planning");
    client.post("/v1/replays", &asked).await
}

/// The causes of a plan on stderr, where a table has no room for them.
pub(super) fn say(replay: &ReplayView) {
    let plan = &replay.plan;
    if !plan.causes.is_empty() {
        eprintln!("\n{}", cause_table(&plan.causes).trim_fmt());
    }
    let more = plan.causes_total.saturating_sub(plan.causes.len() as u64);
    if more > 0 {
        eprintln!("and {more} more causes");
    }
}

/// What a plan found.
pub(super) fn plan_table(replay: &ReplayView) -> Table {
    let plan = &replay.plan;
    fields([
        ("replay", replay.replay_id.to_string()),
        ("state", replay.state.clone()),
        ("letters", plan.letters.to_string()),
        ("keys", plan.keys.to_string()),
        ("parked behind them", plan.followers.to_string()),
        ("stay behind others", plan.conflicts.to_string()),
        ("change nothing", plan.superseded.to_string()),
        ("causes", plan.causes_total.to_string()),
        ("rate", format!("{} a second", replay.rate_per_second)),
        ("canary", format!("{} letters", replay.canary_letters)),
        (
            "pauses above",
            format!("{} % failures", replay.failures_percent_max),
        ),
        ("paused because of", maybe(replay.pause_reason.as_deref())),
    ])
}

/// The filter of a request, which must say something.
fn filter(matching: &Matching) -> Result<ReplayFilter, Error> {
    let disposition = matching.disposition.as_deref().map(disposition).transpose()?;
    let text = matching.text.clone().map(ErrorPart::try_from).transpose();
    let filter = ReplayFilter {
        group: matching.group.clone(),
        disposition,
        error_class: matching.class.clone(),
        event_type: matching.event_type.clone(),
        key: matching.key.clone(),
        fingerprint: matching.fingerprint,
        since: matching.since,
        until: matching.until,
        text: text.map_err(|error| Error::Usage(format!("--text {error}")))?,
        schema_id: matching.schema_id,
    };
    if filter.says_nothing() {
        let which = "name a letter, a plan, or at least one of --group, --disposition, --class, --type, --key, \
                     --fingerprint, --since, --until, --text, --schema-id";
        return Err(Error::Usage(which.to_owned()));
    }
    Ok(filter)
}

fn disposition(word: &str) -> Result<Disposition, Error> {
    serde_json::from_value(word.into()).map_err(|_| Error::Usage(format!("`{word}` is no disposition")))
}
