package object_test

func runChild() bool { return false }
