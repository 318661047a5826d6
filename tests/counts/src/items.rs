//! Functions, public documentation and `unsafe` blocks of a file.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Lit, Meta, ReturnType, Signature, Type, Visibility};

/// Parts of words by which documentation says that something can fail.
const FAILURE: [&str; 9] =
    ["# errors", "fail", "error", "refus", "reject", "`err", "cannot", "unless", "not valid"];

/// A function with a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// How many lines it has, from its visibility to its closing brace.
    pub length: usize,
}

/// A public function that returns a `Result`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fallible {
    /// The function's name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// True if its documentation has a word of failure.
    pub says_when: bool,
}

/// All that is counted of a file's items.
#[derive(Debug, Default)]
pub struct Items {
    /// Functions and methods with a body.
    pub functions: Vec<Function>,
    /// Public functions, and methods of public traits, that return a `Result`.
    pub fallible: Vec<Fallible>,
    /// The lines of all `unsafe` blocks.
    pub unsafe_blocks: Vec<usize>,
    /// How many lines document the file itself or something public in it.
    pub public_docs: usize,
    /// True inside of a public enum or trait, whose parts are public without saying so.
    inherits: bool,
}

impl Items {
    /// Looks at all items of a parsed file.
    pub fn of(syntax: &syn::File) -> Self {
        let mut items = Self { public_docs: documentation(&syntax.attrs).count(), ..Self::default() };
        items.visit_file(syntax);
        items
    }

    fn document(&mut self, is_public: bool, attributes: &[Attribute]) {
        if is_public {
            self.public_docs += documentation(attributes).count();
        }
    }

    fn function(&mut self, signature: &Signature, whole: &impl Spanned) {
        let line = signature.fn_token.span.start().line;
        let length = whole.span().end().line - signature.span().start().line + 1;
        self.functions.push(Function { name: signature.ident.to_string(), line, length });
    }

    fn signature(&mut self, is_public: bool, attributes: &[Attribute], signature: &Signature) {
        if !is_public || !returns_result(&signature.output) {
            return;
        }
        let text = documentation(attributes).collect::<Vec<_>>().join(" ").to_lowercase();
        self.fallible.push(Fallible {
            name: signature.ident.to_string(),
            line: signature.fn_token.span.start().line,
            says_when: FAILURE.iter().any(|word| text.contains(word)),
        });
    }

    /// Visits something whose parts are public if it is.
    fn within(&mut self, is_public: bool, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.inherits, is_public);
        visit(self);
        self.inherits = before;
    }
}

impl Visit<'_> for Items {
    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.document(is_public(&function.vis), &function.attrs);
        self.signature(is_public(&function.vis), &function.attrs, &function.sig);
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.document(is_public(&function.vis), &function.attrs);
        self.signature(is_public(&function.vis), &function.attrs, &function.sig);
        self.function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        self.document(self.inherits, &function.attrs);
        self.signature(self.inherits, &function.attrs, &function.sig);
        if let Some(body) = &function.default {
            self.function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_enum(&mut self, item: &syn::ItemEnum) {
        self.document(is_public(&item.vis), &item.attrs);
        self.within(is_public(&item.vis), |items| visit::visit_item_enum(items, item));
    }

    fn visit_item_trait(&mut self, item: &syn::ItemTrait) {
        self.document(is_public(&item.vis), &item.attrs);
        self.within(is_public(&item.vis), |items| visit::visit_item_trait(items, item));
    }

    fn visit_item_struct(&mut self, item: &syn::ItemStruct) {
        self.document(is_public(&item.vis), &item.attrs);
        self.within(false, |items| visit::visit_item_struct(items, item));
    }

    fn visit_variant(&mut self, variant: &syn::Variant) {
        self.document(self.inherits, &variant.attrs);
        visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &syn::Field) {
        self.document(self.inherits || is_public(&field.vis), &field.attrs);
        visit::visit_field(self, field);
    }

    fn visit_item_const(&mut self, item: &syn::ItemConst) {
        self.document(is_public(&item.vis), &item.attrs);
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &syn::ImplItemConst) {
        self.document(is_public(&item.vis), &item.attrs);
        visit::visit_impl_item_const(self, item);
    }

    fn visit_trait_item_const(&mut self, item: &syn::TraitItemConst) {
        self.document(self.inherits, &item.attrs);
        visit::visit_trait_item_const(self, item);
    }

    fn visit_trait_item_type(&mut self, item: &syn::TraitItemType) {
        self.document(self.inherits, &item.attrs);
        visit::visit_trait_item_type(self, item);
    }

    fn visit_item_type(&mut self, item: &syn::ItemType) {
        self.document(is_public(&item.vis), &item.attrs);
        visit::visit_item_type(self, item);
    }

    fn visit_item_static(&mut self, item: &syn::ItemStatic) {
        self.document(is_public(&item.vis), &item.attrs);
        visit::visit_item_static(self, item);
    }

    fn visit_expr_unsafe(&mut self, block: &syn::ExprUnsafe) {
        self.unsafe_blocks.push(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The lines of a documentation comment: each is an attribute of its own.
fn documentation(attributes: &[Attribute]) -> impl Iterator<Item = String> {
    attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

fn returns_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, output) = output else { return false };
    let Type::Path(path) = &**output else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "Result")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Items {
        Items::of(&syn::parse_file(text).unwrap())
    }

    #[test]
    fn measures_functions() {
        let found = items(
            "/// Docs.\npub fn a(\n) {\n}\ntrait T { fn none(); fn b() {} }\nimpl A { fn c() {\n fn inner() {}\n} }",
        );
        let lengths: Vec<_> = found.functions.iter().map(|f| (f.name.as_str(), f.line, f.length)).collect();
        assert_eq!(lengths, [("a", 2, 3), ("b", 5, 1), ("c", 6, 3), ("inner", 7, 1)]);
    }

    #[test]
    fn counts_public_documentation_only() {
        let text = "//! Head.
            /// Public,
            /// two lines.
            pub struct A {
                /// A field.
                pub a: u8,
                /// Not.
                b: u8,
            }
            /// Not.
            struct B;
            /// Public.
            pub enum C {
                /// A variant.
                D,
            }
            /// Not.
            pub(crate) fn e() {}";
        assert_eq!(items(text).public_docs, 6);
    }

    #[test]
    fn finds_fallible_functions_that_say_when_they_fail() {
        let text = "
            /// Reads. Fails if there is no file.
            pub fn a() -> io::Result<()> {}
            /// Reads.
            pub fn b() -> Result<(), E> {}
            fn private() -> Result<()> {}
            pub fn c() -> u8 {}
            pub trait T {
                /// # Errors
                fn d() -> Result<()>;
            }";
        let found: Vec<_> = items(text).fallible.into_iter().map(|f| (f.name, f.says_when)).collect();
        assert_eq!(found, [("a".into(), true), ("b".into(), false), ("d".into(), true)]);
    }

    #[test]
    fn finds_unsafe_blocks() {
        assert_eq!(items("fn a() {\n    let b = unsafe { c() };\n}\n").unsafe_blocks, [2]);
    }
}
