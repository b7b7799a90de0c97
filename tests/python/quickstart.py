from agb import AGB
from agb.session_params import CreateSessionParams
agb = AGB()  # AGB_API_KEY and AGB_ENDPOINT come from the environment
session = agb.create(CreateSessionParams(image_id="agb-code-space-1")).session
code = "import time\nfor i in range(5):\n    print(f'Progress: {i+1}/5')\n    time.sleep(1)\nprint('Done!')"
result = session.code.run(code, "python", stream_beta=True, on_stdout=lambda chunk: print(f"[STDOUT] {chunk}", flush=True))
print(f"Execution completed in {result.execution_time:.2f}s", flush=True)
agb.delete(session)
