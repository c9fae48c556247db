// Package intake turns what a customer uploads into rows: it finds the
// encoding and the separator, maps columns to the fields of a service's query,
// normalises each row and marks invalid and duplicate ones.
//
// It promises to stream: memory does not grow with the file, apart from an
// index of the questions seen. Every row given comes back exactly once, in the
// order given, numbered from 0, with the customer's cells as they were. A bad
// row is marked and never stops the file; a file that cannot be read as a whole
// is refused with an [*Error] that names the parameter and the remedy.
//
// It knows no HTTP and stores nothing. Of Magpie's packages it imports lookup.
package intake
