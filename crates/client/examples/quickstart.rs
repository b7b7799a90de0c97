//! Runs a Python program and prints each line when it is printed. The endpoint and the key come from the environment.

use agb_client::{Agb, CreateSession, RunEvent};
use futures_util::StreamExt;

const CODE: &str = "import time
for i in range(5):
    print(f'Progress: {i+1}/5')
    time.sleep(1)
print('Done!')";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), agb_client::Error> {
    let image = CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() };
    let session = Agb::from_env()?.create(image).await?;
    let mut run = session.code().run(CODE, "python").stream()?;
    while let Some(event) = run.next().await {
        if let RunEvent::Stdout(chunk) = event {
            print!("[STDOUT] {chunk}");
        }
    }
    println!("Execution completed in {:.2}s", run.finish().await.execution_time);
    session.delete().await?;
    Ok(())
}
