//! What lists can be asked for.

use std::fmt;
use std::str::FromStr;

use crate::record::{BadId, DeliveryId, EventId, Name, StateName};
use crate::time::Timestamp;

/// Which events a list shows; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this source.
    pub source: Option<Name>,
    /// Of this type (the provider's word).
    pub kind: Option<String>,
    /// Whose derived state is this.
    pub state: Option<EventState>,
    /// With a delivery to this destination.
    pub destination: Option<Name>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// With this id of the provider.
    pub provider_event_id: Option<String>,
    /// With this text in the body: these bytes, as they are.
    pub text: Option<String>,
}

/// Which deliveries a list shows; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// In this state. `Pending` does not include what is in flight.
    pub state: Option<StateName>,
    /// Only what is in flight (`Some(true)`) or only what is not (`Some(false)`).
    pub in_flight: Option<bool>,
    /// To this destination.
    pub destination: Option<Name>,
    /// Of this source.
    pub source: Option<Name>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Whose event was received at this time or later.
    pub since: Option<Timestamp>,
    /// Whose event was received before this time.
    pub until: Option<Timestamp>,
}

/// The state of an event, derived from its deliveries' states in this order: any pending (or in flight), any parked, any
/// delivered, else cancelled; `Unrouted` without deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventState {
    /// A delivery is pending or in flight.
    Pending,
    /// None is pending and one is parked.
    Parked,
    /// None is pending or parked and one is delivered.
    Delivered,
    /// All are cancelled.
    Cancelled,
    /// It has no delivery.
    Unrouted,
}

impl EventState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Parked, Self::Delivered, Self::Cancelled, Self::Unrouted];

    /// Derives the state of an event from those of its deliveries.
    pub fn of(deliveries: impl IntoIterator<Item = StateName>) -> Self {
        let rank = |s| match s {
            StateName::Pending => Self::Pending,
            StateName::Parked => Self::Parked,
            StateName::Delivered => Self::Delivered,
            StateName::Cancelled => Self::Cancelled,
        };
        deliveries.into_iter().map(rank).min_by_key(|s| *s as u8).unwrap_or(Self::Unrouted)
    }

    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Parked => "parked",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Unrouted => "unrouted",
        }
    }
}

/// Where a page starts and how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Behind this item; `None` for the first page.
    pub after: Option<Cursor>,
    /// At most so many items.
    pub limit: usize,
}

/// The last item of a page. Events are listed by id, deliveries by event and ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub DeliveryId);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cursor {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        text.parse().map(Self)
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Cursor>,
}
