//! Weaviate's messages over gRPC (package `weaviate.v1`), as many as pages need, by the numbers of their fields. What a server
//! says beyond these is passed over. Written after the official client's messages, with which tests compare them.

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

/// Puts objects into a collection, or in the place of those of the same name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchObjectsRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) objects: Vec<BatchObject>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchObject {
    #[prost(string, tag = "1")]
    pub(super) uuid: String,
    #[prost(message, optional, tag = "3")]
    pub(super) properties: Option<BatchProperties>,
    #[prost(string, tag = "4")]
    pub(super) collection: String,
    #[prost(message, repeated, tag = "23")]
    pub(super) vectors: Vec<Vectors>,
}

/// An object's values: lists stand apart by what they hold.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchProperties {
    #[prost(message, optional, tag = "1")]
    pub(super) plain: Option<Struct>,
    #[prost(message, repeated, tag = "5")]
    pub(super) int_arrays: Vec<IntArrayProperties>,
    #[prost(message, repeated, tag = "6")]
    pub(super) text_arrays: Vec<TextArrayProperties>,
    #[prost(string, repeated, tag = "10")]
    pub(super) empty_lists: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IntArrayProperties {
    #[prost(int64, repeated, tag = "1")]
    pub(super) values: Vec<i64>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TextArrayProperties {
    #[prost(string, repeated, tag = "1")]
    pub(super) values: Vec<String>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Struct {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) fields: BTreeMap<String, StructValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StructValue {
    #[prost(oneof = "StructKind", tags = "2, 3")]
    pub(super) kind: Option<StructKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum StructKind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
}

/// A named vector, or several.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Vectors {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Of several: the dimension in 16 bits, then numbers of 32, all little-endian.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) bytes: Vec<u8>,
    #[prost(enumeration = "VectorType", tag = "4")]
    pub(super) kind: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum VectorType {
    Unspecified = 0,
    SingleFp32 = 1,
    MultiFp32 = 2,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchObjectsReply {
    #[prost(message, repeated, tag = "2")]
    pub(super) errors: Vec<BatchError>,
}

/// What is wrong with an object of a batch.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchError {
    #[prost(int32, tag = "1")]
    pub(super) index: i32,
    #[prost(string, tag = "2")]
    pub(super) error: String,
}

/// Conditions on objects.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Filters {
    #[prost(enumeration = "Operator", tag = "1")]
    pub(super) operator: i32,
    #[prost(message, repeated, tag = "3")]
    pub(super) filters: Vec<Self>,
    #[prost(message, optional, tag = "20")]
    pub(super) target: Option<FilterTarget>,
    #[prost(oneof = "FilterValue", tags = "4, 5, 9")]
    pub(super) value: Option<FilterValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(super) enum Operator {
    Unspecified = 0,
    Equal = 1,
    GreaterThanEqual = 4,
    LessThanEqual = 6,
    And = 7,
    ContainsAny = 12,
    ContainsAll = 13,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum FilterValue {
    #[prost(string, tag = "4")]
    Text(String),
    #[prost(int64, tag = "5")]
    Int(i64),
    #[prost(message, tag = "9")]
    Texts(TextArray),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TextArray {
    #[prost(string, repeated, tag = "1")]
    pub(super) values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FilterTarget {
    #[prost(string, tag = "1")]
    pub(super) property: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchDeleteRequest {
    #[prost(string, tag = "1")]
    pub(super) collection: String,
    #[prost(message, optional, tag = "2")]
    pub(super) filters: Option<Filters>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchDeleteReply {
    #[prost(int64, tag = "2")]
    pub(super) failed: i64,
    #[prost(int64, tag = "3")]
    pub(super) matches: i64,
    #[prost(int64, tag = "4")]
    pub(super) successful: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AggregateRequest {
    #[prost(string, tag = "1")]
    pub(super) collection: String,
    #[prost(bool, tag = "20")]
    pub(super) objects_count: bool,
    #[prost(message, optional, tag = "40")]
    pub(super) filters: Option<Filters>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AggregateReply {
    #[prost(message, optional, tag = "2")]
    pub(super) single: Option<AggregateSingle>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AggregateSingle {
    #[prost(int64, optional, tag = "1")]
    pub(super) objects_count: Option<i64>,
}

/// A search, or a list where nothing is looked for.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SearchRequest {
    #[prost(string, tag = "1")]
    pub(super) collection: String,
    #[prost(message, optional, tag = "20")]
    pub(super) properties: Option<PropertiesRequest>,
    #[prost(message, optional, tag = "21")]
    pub(super) metadata: Option<MetadataRequest>,
    #[prost(uint32, tag = "30")]
    pub(super) limit: u32,
    #[prost(string, tag = "33")]
    pub(super) after: String,
    #[prost(message, optional, tag = "40")]
    pub(super) filters: Option<Filters>,
    #[prost(message, optional, tag = "42")]
    pub(super) bm25: Option<Bm25>,
    #[prost(message, optional, tag = "43")]
    pub(super) near_vector: Option<NearVector>,
    /// Which form of answers is understood.
    #[prost(bool, tag = "100")]
    pub(super) uses_123_api: bool,
    #[prost(bool, tag = "101")]
    pub(super) uses_125_api: bool,
    #[prost(bool, tag = "102")]
    pub(super) uses_127_api: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PropertiesRequest {
    #[prost(string, repeated, tag = "1")]
    pub(super) names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataRequest {
    #[prost(bool, tag = "1")]
    pub(super) uuid: bool,
    #[prost(bool, tag = "5")]
    pub(super) distance: bool,
    #[prost(bool, tag = "7")]
    pub(super) score: bool,
    #[prost(string, repeated, tag = "10")]
    pub(super) vectors: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Bm25 {
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) properties: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NearVector {
    #[prost(message, optional, tag = "6")]
    pub(super) targets: Option<Targets>,
    #[prost(message, repeated, tag = "9")]
    pub(super) vectors: Vec<Vectors>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Targets {
    #[prost(string, repeated, tag = "1")]
    pub(super) names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SearchReply {
    #[prost(message, repeated, tag = "2")]
    pub(super) results: Vec<SearchResult>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SearchResult {
    #[prost(message, optional, tag = "1")]
    pub(super) properties: Option<PropertiesResult>,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<MetadataResult>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PropertiesResult {
    #[prost(message, optional, tag = "11")]
    pub(super) plain: Option<Properties>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetadataResult {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(float, tag = "7")]
    pub(super) distance: f32,
    #[prost(bool, tag = "8")]
    pub(super) distance_present: bool,
    #[prost(float, tag = "11")]
    pub(super) score: f32,
    #[prost(bool, tag = "12")]
    pub(super) score_present: bool,
    #[prost(message, repeated, tag = "23")]
    pub(super) vectors: Vec<Vectors>,
}

/// An object's values as they come back.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Properties {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) fields: BTreeMap<String, Property>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Property {
    #[prost(oneof = "PropertyKind", tags = "1, 3, 5, 8, 10, 12, 13")]
    pub(super) kind: Option<PropertyKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum PropertyKind {
    #[prost(double, tag = "1")]
    Number(f64),
    #[prost(bool, tag = "3")]
    Bool(bool),
    #[prost(message, tag = "5")]
    List(ListValue),
    #[prost(int64, tag = "8")]
    Int(i64),
    #[prost(string, tag = "10")]
    Blob(String),
    #[prost(int32, tag = "12")]
    Null(i32),
    #[prost(string, tag = "13")]
    Text(String),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListValue {
    #[prost(oneof = "ListKind", tags = "7, 8")]
    pub(super) kind: Option<ListKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ListKind {
    #[prost(message, tag = "7")]
    Ints(IntValues),
    #[prost(message, tag = "8")]
    Texts(TextArray),
}

/// Numbers of 64 bits, little-endian, one after another.
#[derive(Clone, PartialEq, Message)]
pub(super) struct IntValues {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) bytes: Vec<u8>,
}
