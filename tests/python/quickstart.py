"""The documentation's Python quickstart, as a user writes it. The endpoint comes from the environment."""

from agb import AGB
from agb.session_params import CreateSessionParams

agb = AGB()
result = agb.create(CreateSessionParams(image_id="agb-code-space-1"))
if not result.success:
    raise SystemExit(f"Session creation failed: {result.error_message}")
session = result.session

code = """
import time
for i in range(5):
    print(f'Progress: {i+1}/5')
    time.sleep(1)
print('Done!')
"""

execution = session.code.run(
    code,
    "python",
    timeout_s=60,
    stream_beta=True,
    on_stdout=lambda chunk: print(f"[STDOUT] {chunk}", flush=True),
    on_stderr=lambda chunk: print(f"[STDERR] {chunk}", flush=True),
    on_error=lambda error: print(f"[ERROR] {error}", flush=True),
)
if execution.success:
    print(f"Execution completed in {execution.execution_time:.2f}s", flush=True)

agb.delete(session)
