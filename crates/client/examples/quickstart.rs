//! Runs a Python program and prints each line when it is printed. The endpoint and the key come from the environment.

use agb_client::{Agb, CreateSession, RunEvent};
use futures_util::StreamExt;

const CODE: &str = "
import time
for i in range(5):
    print(f'Progress: {i+1}/5')
    time.sleep(1)
print('Done!')
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), agb_client::Error> {
    let agb = Agb::from_env()?;
    let session = agb.create(CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() }).await?;
    let mut run = session.code().run(CODE, "python").stream()?;
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(chunk) => print!("[STDOUT] {chunk}"),
            RunEvent::Stderr(chunk) => print!("[STDERR] {chunk}"),
            _ => {}
        }
    }
    let result = run.finish().await;
    if result.success {
        println!("Execution completed in {:.2}s", result.execution_time);
    } else {
        println!("{}", result.error_message);
    }
    session.delete().await?;
    Ok(())
}
