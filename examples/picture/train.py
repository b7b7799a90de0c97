import sys, time
rate = float(input("learning rate? "))
slope, data = 0.0, [(1.0, 1.4), (2.0, 2.6), (3.0, 3.9), (4.0, 4.9)]
for epoch in range(1, 9):
    loss = 0.0
    for x, y in data:
        miss = slope * x - y
        slope, loss = slope - rate * miss * x, loss + miss**2 / len(data)
        time.sleep(0.15)
    bar = "█" * round(loss * 4)
    print(f"epoch {epoch}  loss \033[36m{loss:6.3f}\033[0m  \033[34m{bar}\033[0m")
for percent in range(0, 101, 4):
    done = percent // 4
    print(f"\rsaving  \033[32m{'━' * done}\033[2m{'━' * (25 - done)}\033[0m {percent:3} %", end="")
    time.sleep(0.03)
print(f"\nthe slope is {slope:.2f}")
