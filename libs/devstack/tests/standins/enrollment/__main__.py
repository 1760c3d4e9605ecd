from standin import main

main("enrollment")
