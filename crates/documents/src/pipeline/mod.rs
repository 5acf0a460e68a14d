//! Pipelines over a [`World`](crate::World).

mod agreement;
mod choose;
mod dolma;
mod filter;
mod front_matter;
mod job;
mod ladder;
mod lay_out;
mod prompt;
mod read;
mod reading;
mod render;
mod repetition;
mod resume;
mod room;
mod totals;

pub use agreement::{Agreement, compare};
pub use choose::{Mode, Need, need};
pub use dolma::{Dolma, Provenance, dolma};
pub use filter::{Unwanted, unwanted};
pub use front_matter::{FrontMatter, FrontMatterFault, parse as parse_front_matter};
pub use job::{Fetch, Job, JobEvent, JobWatch};
pub use ladder::{Attempt, Ladder, LadderOptions, Outcome, Step};
pub use lay_out::{Outline, Parse, lay_out, lay_out_opened};
pub use prompt::{GUIDED_REGEX, KEEP_HEADERS, MOST_TOKENS, PROMPT, TEMPERATURES};
pub(crate) use read::agree;
pub use read::{Event, ReadOptions, Watch, read, read_opened, reading};
pub use reading::{PageReading, Reader};
pub use render::{Raster, Render};
pub use repetition::Repetition;
pub use resume::{Keep, Opened, Resumed, resume, resume_opened};
pub use room::Room;
pub use totals::Totals;
