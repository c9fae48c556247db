// Package lookup is the vocabulary that every other package speaks: services,
// queries, questions, outcomes, result rows and credits.
//
// It promises that the same question is the same [Question] however it is
// written (case, accents, "www.", number formats), that an amount of credits is
// exact to a thousandth, and that a query which cannot be asked is refused with
// an [InputError] that names the field, what is wrong with it and the remedy.
//
// It does not ask anybody anything: no network, no storage, no clock. It
// imports none of Magpie's other packages.
package lookup
