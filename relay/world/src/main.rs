//! Runs a plan in a world of real cores in virtual time, and writes what every wire carried: the traffic-analysis lab's raw material.
//!
//! `voicebox-world < PLAN > RECORDS`; what happened to circuits and calls goes to standard error, a line each. The plan's lines are in [`plan`],
//! a record's layout in [`record`]. Equal plans give equal octets.

mod owner;
mod plan;
mod record;
mod wire;
mod world;

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let plan = match plan::parse_plan(&text) {
        Ok(plan) => plan,
        Err(problem) => {
            eprintln!("error {problem}");
            std::process::exit(2);
        }
    };
    let mut world = world::World::new(&plan);
    world.run(&plan);
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    for record in &world.records {
        out.write_all(&record.serialise())?;
    }
    out.flush()?;
    for line in &world.told {
        eprintln!("{line}");
    }
    Ok(())
}
