//! Shapes of the words that lower layers have: ids, names, times, states. From the same lists that the code uses.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::alarm::{Kind, State};
use crate::delivery::ReplayState;
use crate::record::{BreakerState, DeliveryId, EventId, Failure, Name, ParkReason, StateName};
use crate::signature::Reason;
use crate::store::EventState;
use crate::time::Timestamp;

/// The states of a delivery, as the API says them: `in_flight` is a pending one whose attempt is under way.
pub(in crate::admin) enum DeliveryState {}

/// The word for a delivery whose attempt is under way.
pub(in crate::admin) const IN_FLIGHT: &str = "in_flight";

/// Text.
fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// One of these words.
pub(in crate::admin) fn words<'a>(about: &str, words: impl IntoIterator<Item = &'a str>) -> RefOr<Schema> {
    text().enum_values(Some(words)).description(Some(about)).build().into()
}

impl ToSchema for Timestamp {}
impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let time = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        time.description(Some("A time in RFC 3339; answers are in UTC, with milliseconds."))
            .examples(["2026-11-25T10:00:00.123Z"])
            .build()
            .into()
    }
}

impl ToSchema for Name {}
impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        let name = text().pattern(Some("^[A-Za-z0-9_.-]+$")).min_length(Some(1)).max_length(Some(Self::LENGTH_MAX));
        name.description(Some("The name of a source or a destination in relay.toml.")).examples(["billing"]).build().into()
    }
}

impl ToSchema for EventId {}
impl PartialSchema for EventId {
    fn schema() -> RefOr<Schema> {
        let id = text().format(Some(SchemaFormat::Custom("uuid".to_owned())));
        id.description(Some("A UUIDv7: the order of ids is the order of arrival."))
            .examples(["019abf3c-2b7b-7c43-a1de-3d4a4f1c9f60"])
            .build()
            .into()
    }
}

impl ToSchema for DeliveryId {}
impl PartialSchema for DeliveryId {
    fn schema() -> RefOr<Schema> {
        let id = text().pattern(Some("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}[.][0-9]{1,5}$"));
        id.description(Some("An event's id, a dot, and which of its deliveries this is."))
            .examples(["019abf3c-2b7b-7c43-a1de-3d4a4f1c9f60.1"])
            .build()
            .into()
    }
}

impl ToSchema for EventState {}
impl PartialSchema for EventState {
    fn schema() -> RefOr<Schema> {
        words("Derived from the states of its deliveries; `unrouted` without any.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for DeliveryState {}
impl PartialSchema for DeliveryState {
    fn schema() -> RefOr<Schema> {
        words("`in_flight` while an attempt is under way.", StateName::ALL.map(StateName::as_str).into_iter().chain([IN_FLIGHT]))
    }
}

impl ToSchema for ParkReason {}
impl PartialSchema for ParkReason {
    fn schema() -> RefOr<Schema> {
        words(
            "Why it is parked: its time was over, its application refused it for good, or a person wanted it.",
            Self::ALL.map(Self::as_str),
        )
    }
}

impl ToSchema for Failure {}
impl PartialSchema for Failure {
    fn schema() -> RefOr<Schema> {
        words("Why no whole answer came.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for BreakerState {}
impl PartialSchema for BreakerState {
    fn schema() -> RefOr<Schema> {
        words("`closed` while the application answers.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for ReplayState {}
impl PartialSchema for ReplayState {
    fn schema() -> RefOr<Schema> {
        words("How far a replay is.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Reason {}
impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        words("Why a request was not believed.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Kind {
    fn name() -> Cow<'static, str> {
        "AlertKind".into()
    }
}
impl PartialSchema for Kind {
    fn schema() -> RefOr<Schema> {
        words("What is wrong.", Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for State {
    fn name() -> Cow<'static, str> {
        "AlertState".into()
    }
}
impl PartialSchema for State {
    fn schema() -> RefOr<Schema> {
        words("`pending` while its condition holds, but not for its time yet.", Self::ALL.map(Self::as_str))
    }
}
