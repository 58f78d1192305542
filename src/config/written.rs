//! A value with the place where it was written, and the list of what is wrong.
#![deny(clippy::disallowed_methods)]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Source};

/// Where a key or a value was written.
#[derive(Debug, Clone)]
pub struct Place {
    source: Source,
    span: Range<usize>,
    /// The variable of the environment which the source holds; none = a file.
    variable: Option<Arc<str>>,
}

impl Place {
    /// Octets of a file.
    pub(super) fn in_file(source: &Source, span: Range<usize>) -> Self {
        Self { source: source.clone(), span, variable: None }
    }

    /// Octets of a source that holds one variable of the environment.
    pub(super) fn in_variable(source: &Source, span: Range<usize>, variable: &str) -> Self {
        Self { source: source.clone(), span, variable: Some(variable.into()) }
    }

    /// A part of what was written there, if it is written as it is meant.
    pub(super) fn part(&self, text: &str) -> Self {
        let part = self.text().find(text).map(|start| self.span.start + start..self.span.start + start + text.len());
        Self { span: part.unwrap_or_else(|| self.span.clone()), ..self.clone() }
    }

    /// What was written there.
    pub(super) fn text(&self) -> &str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Its line, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.source.position(self.span.start).0
    }

    /// Whether it stands in a variable of the environment.
    pub(super) fn is_variable(&self) -> bool {
        self.variable.is_some()
    }

    /// A diagnostic at the place.
    pub(super) fn pin(&self, diagnostic: Diagnostic) -> Diagnostic {
        let mut diagnostic = diagnostic.at(&self.source, self.span.clone());
        // In one line, `environment:1:16` alone would not say which variable is meant.
        if let Some(variable) = &self.variable {
            diagnostic.message = format!("{variable}: {}", diagnostic.message);
        }
        diagnostic
    }

    /// Where it comes in the list of problems: the file from top to bottom, then the environment.
    fn order(&self) -> Order {
        (self.variable.clone(), self.span.start)
    }
}

/// Variable of the environment, none for the file; and the octet.
type Order = (Option<Arc<str>>, usize);

/// A value with its place, so that later stages can complain about it.
#[derive(Debug, Clone)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// Where it was written; none = a default that nobody wrote.
    pub place: Option<Place>,
}

impl<T> Written<T> {
    /// A default.
    pub(super) fn default(value: T) -> Self {
        Self { value, place: None }
    }

    /// A value that was written there.
    pub(super) fn at(place: &Place, value: T) -> Self {
        Self { value, place: Some(place.clone()) }
    }

    /// Another value for the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Written<U> {
        Written { value: change(self.value), place: self.place }
    }

    /// An error that points at the value.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.pin(Diagnostic::error(message))
    }

    /// A warning that points at the value.
    pub fn warning(&self, message: impl Into<String>) -> Diagnostic {
        self.pin(Diagnostic::warning(message))
    }

    fn pin(&self, diagnostic: Diagnostic) -> Diagnostic {
        match &self.place {
            Some(place) => place.pin(diagnostic),
            None => diagnostic,
        }
    }

    /// ` (nodes/a.json:7)`, or nothing for a default.
    pub(super) fn in_place(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| format!(" ({}:{})", place.source.name, place.line()))
    }

    /// ` in line 7`, or nothing for a default: to be put behind the name of a thing.
    pub fn in_line(&self) -> String {
        match &self.place {
            Some(place) if !place.is_variable() => format!(" in line {}", place.line()),
            _ => String::new(),
        }
    }
}

/// Everything that is wrong, collected while reading goes on.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: RefCell<Vec<(Order, Diagnostic)>>,
    /// How many are told at most; none = all.
    most: Option<usize>,
    /// How many there were beyond these, how bad the worst was, and where the first.
    beyond: RefCell<Option<(usize, Severity, Place)>>,
}

impl Problems {
    /// An error at a place.
    pub(super) fn error(&self, place: &Place, message: impl Into<String>) {
        self.add(place, Diagnostic::error(message));
    }

    /// None yet, of which so many are told one by one, and the others are counted.
    pub(super) fn at_most(most: usize) -> Self {
        Self { most: Some(most), ..Self::default() }
    }

    /// Any diagnostic that has no place yet, at a place.
    pub(super) fn add(&self, place: &Place, diagnostic: impl Into<Diagnostic>) {
        if self.most.is_some_and(|most| self.list.borrow().len() >= most) {
            let severity = diagnostic.into().severity;
            let mut beyond = self.beyond.borrow_mut();
            let (count, worst, _) = beyond.get_or_insert_with(|| (0, severity, place.clone()));
            *count += 1;
            if severity == Severity::Error {
                *worst = severity;
            }
            return;
        }
        self.list.borrow_mut().push((place.order(), place.pin(diagnostic.into())));
    }

    /// The same, unless it was said already: what many share is wrong for each of them.
    pub(super) fn add_once(&self, place: &Place, diagnostic: impl Into<Diagnostic>) {
        let (order, diagnostic) = (place.order(), diagnostic.into());
        let is_known = self.list.borrow().iter().any(|(at, known)| *at == order && known.message == diagnostic.message);
        if !is_known {
            self.add(place, diagnostic);
        }
    }

    /// Any diagnostic that has no place yet, at a value; in front of all if the value is a default.
    pub(super) fn add_to<T>(&self, written: &Written<T>, diagnostic: impl Into<Diagnostic>) {
        match &written.place {
            Some(place) => self.add(place, diagnostic),
            None => self.list.borrow_mut().push(((None, 0), diagnostic.into())),
        }
    }

    /// How many there are so far: a thing is sound if reading it adds none.
    pub(super) fn count(&self) -> usize {
        self.list.borrow().len() + self.beyond.borrow().as_ref().map_or(0, |(count, ..)| *count)
    }

    /// Whether one of them is an error: then what was read may not be what was meant.
    pub(super) fn has_errors(&self) -> bool {
        let is_error = |(_, diagnostic): &(Order, Diagnostic)| diagnostic.severity == Severity::Error;
        let beyond = self.beyond.borrow();
        self.list.borrow().iter().any(is_error)
            || beyond.as_ref().is_some_and(|(_, worst, _)| *worst == Severity::Error)
    }

    /// All of them, in the order of their places.
    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut list = self.list.into_inner();
        list.sort_by(|(left, _), (right, _)| left.cmp(right));
        let beyond = self.beyond.into_inner().map(|(count, worst, place)| {
            let message = format!("{count} more things are wrong, from here on");
            place.pin(if worst == Severity::Error { Diagnostic::error(message) } else { Diagnostic::warning(message) })
        });
        list.into_iter().map(|(_, diagnostic)| diagnostic).chain(beyond).collect()
    }
}
