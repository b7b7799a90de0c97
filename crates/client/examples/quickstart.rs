//! Prints each line of a Python program when it is printed. The endpoint and the key come from the environment.

use agb_client::{Agb, CreateSession, RunEvent};
use futures_util::StreamExt;
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), agb_client::Error> {
    let image = CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() };
    let session = Agb::from_env()?.create(image).await?;
    let code = "import time\nfor i in range(5):\n    print(f'Progress: {i+1}/5')\n    time.sleep(1)\nprint('Done!')";
    let mut run = session.code().run(code, "python").stream()?;
    while let Some(event) = run.next().await {
        let RunEvent::Stdout(chunk) = event else { continue };
        print!("[STDOUT] {chunk}");
    }
    println!("Execution completed in {:.2}s", run.finish().await.execution_time);
    session.delete().await.map(drop)
}
