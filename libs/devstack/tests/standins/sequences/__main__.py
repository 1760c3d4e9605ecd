from standin import main

main("sequences")
