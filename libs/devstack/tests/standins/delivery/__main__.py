from standin import main

main("delivery")
