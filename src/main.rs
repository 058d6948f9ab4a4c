//! The door: takes the command line and hands it to the house.

fn main() {}
