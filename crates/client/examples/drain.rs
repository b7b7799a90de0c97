//! Reads a run of a load server as fast as it comes: what the client costs without anybody behind it.
//!
//! `drain URL [IMAGE] CODE`, where URL is what `agb-load` printed; IMAGE `load.resume.flow` turns the extensions on.

use std::time::Instant;

use agb_client::{Agb, CreateSession, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), agb_client::Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (endpoint, image, code) = match arguments.as_slice() {
        [endpoint, image, code] => (endpoint, image.as_str(), code),
        [endpoint, code] => (endpoint, "load", code),
        _ => panic!("usage: drain URL [IMAGE] CODE"),
    };
    let agb = Agb::new(&Options::new().api_key("load").endpoint(endpoint))?;
    let session = agb.create(CreateSession { image_id: image.into(), ..CreateSession::default() }).await?;
    let started = Instant::now();
    let mut run = session.code().run(code.as_str(), "python").timeout(std::time::Duration::from_secs(600)).stream()?;
    let (mut batches, mut chunks, mut bytes) = (0_u64, 0_u64, 0_u64);
    while let Some(batch) = run.next_batch().await {
        batches += 1;
        chunks += batch.marks().len() as u64;
        bytes += batch.text().len() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    let result = run.finish().await;
    println!(
        "{:.0} k chunks/s, {:.0} MB/s, {:.1} chunks a batch; {}",
        chunks as f64 / seconds / 1e3,
        bytes as f64 / seconds / 1e6,
        chunks as f64 / batches as f64,
        if result.success { "finished" } else { &result.error_message },
    );
    session.delete().await?;
    Ok(())
}
