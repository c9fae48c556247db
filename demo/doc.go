// Package demo shows the whole of Magpie at work, on data that anybody may see.
//
// Its data are telephone numbers as people write them ([Phones]), all public by
// design, and invented people at invented companies ([People]). It promises that
// the same arguments give the same data, byte for byte, that no number was taken
// from a private person, and that no company's domain can belong to anybody.
package demo
