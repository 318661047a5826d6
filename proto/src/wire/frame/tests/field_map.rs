//! The field map of a message: each field's path and bytes, in the order of the frame's body.
//!
//! A serializer that follows the message as bincode does. It encodes each single value by bincode itself, so
//! that only the paths are its own. The golden test compares the whole with the real encoding.

use std::fmt::Display;

use bincode::Options;
use serde::de::value::Error;
use serde::ser::{self, Serialize, Serializer};

use crate::wire::frame::encoding;

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// Its path from the message, such as `body.points[0].backend`, and a remark after a colon: the name of a
    /// variant, or `length`.
    pub(super) path: String,
    /// Its bytes in the body.
    pub(super) bytes: Vec<u8>,
}

/// The fields of `message`, of which the first path begins with `root`.
pub(super) fn fields(root: &str, message: &impl Serialize) -> Vec<Field> {
    let mut fields = Vec::new();
    message.serialize(Mapper { path: root.to_owned(), fields: &mut fields }).unwrap();
    fields
}

/// The serializer of the value at one path.
struct Mapper<'a> {
    path: String,
    fields: &'a mut Vec<Field>,
}

impl<'a> Mapper<'a> {
    fn put(&mut self, remark: impl Display, value: &(impl Serialize + ?Sized)) {
        let bytes = encoding().serialize(value).unwrap();
        self.fields.push(Field { path: format!("{}{remark}", self.path), bytes });
    }

    fn text(mut self, text: &str) {
        self.put(": length", &(text.len() as u64));
        self.fields.push(Field { path: format!("{}: {text:?}", self.path), bytes: text.as_bytes().to_vec() });
    }

    fn variant(mut self, index: u32, name: &str) -> Self {
        self.put(format_args!(": {name}"), &index);
        self
    }

    fn parts(self) -> Parts<'a> {
        let first = self.fields.len();
        Parts { path: self.path, fields: self.fields, first, count: 0 }
    }
}

/// The serializer of the parts of the value at one path.
struct Parts<'a> {
    path: String,
    fields: &'a mut Vec<Field>,
    /// The number of fields before the first part.
    first: usize,
    /// The number of parts.
    count: usize,
}

impl Parts<'_> {
    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let path = format!("{}[{}]", self.path, self.count);
        self.count += 1;
        value.serialize(Mapper { path, fields: self.fields })
    }

    fn named(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        value.serialize(Mapper { path: format!("{}.{name}", self.path), fields: self.fields })
    }

    /// Joins elements of one byte each, as of a key or a signature, to one field.
    fn joined(self) {
        let elements = &self.fields[self.first..];
        let are_bytes =
            elements.len() == self.count && elements.iter().all(|element| element.bytes.len() == 1);
        if are_bytes && self.count > 0 {
            let bytes = elements.iter().flat_map(|element| element.bytes.clone()).collect();
            self.fields.truncate(self.first);
            self.fields.push(Field { path: self.path, bytes });
        }
    }
}

macro_rules! single_values {
    ($($method:ident: $kind:ty,)*) => {
        $(fn $method(mut self, value: $kind) -> Result<(), Error> {
            self.put("", &value);
            Ok(())
        })*
    };
}

impl<'a> Serializer for Mapper<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = ser::Impossible<(), Error>;
    type SerializeMap = ser::Impossible<(), Error>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    single_values! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_bytes: &[u8],
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        self.text(text);
        Ok(())
    }

    fn serialize_none(mut self) -> Result<(), Error> {
        self.put(": None", &0_u8);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), Error> {
        self.put(": Some", &1_u8);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, name: &'static str) -> Result<(), Error> {
        self.variant(index, name);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self.variant(index, name))
    }

    fn serialize_seq(mut self, length: Option<usize>) -> Result<Parts<'a>, Error> {
        self.put(": length", &(length.unwrap() as u64));
        Ok(self.parts())
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(ser::Error::custom("no message has a variant with several unnamed fields"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Err(ser::Error::custom("no message has a map"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant(index, name).parts())
    }

    /// As in bincode.
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! lists {
    ($($kind:ident)*) => {
        $(impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                self.joined();
                Ok(())
            }
        })*
    };
}

lists! { SerializeSeq SerializeTuple }

impl ser::SerializeTupleStruct for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

macro_rules! structs {
    ($($kind:ident)*) => {
        $(impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.named(name, value)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        })*
    };
}

structs! { SerializeStruct SerializeStructVariant }
