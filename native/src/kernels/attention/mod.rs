//! Attention without a T×T matrix (Dao et al., 2022). `online` attends runs of rows for `forward` (packed `segments`) and `paged`
//! (caches, which `write` fills); `backward` plans the units whose `gradients` are then worked out. All work in `tiles`, by `product`.
mod ahead;
mod backward;
mod forward;
mod gradients;
mod online;
#[cfg(test)]
mod oracle;
mod paged;
mod product;
mod segments;
mod softmax;
mod stored;
mod tiles;
mod write;

pub use backward::attention_backward;
pub use forward::attention_forward;
pub use gradients::Saved;
pub use paged::{PagedRows, attention_paged};
pub use segments::{Segment, num_rows, segments};
pub use stored::{Bf16, Cache, Element};
pub use tiles::Shape;
pub use write::cache_keys_and_values;
