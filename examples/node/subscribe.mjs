// Follows every sequence from `sequences.events` alone, however late it is started: node subscribe.mjs
import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'

const brokers = (process.env.SLUICE_KAFKA_BOOTSTRAP_SERVERS ?? 'localhost:9092').split(',')
const kafka = new Kafka({ brokers, logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId: `node-example-${randomUUID()}` }) // a group of its own sees every record
const versions = new Map()
await consumer.connect()
await consumer.subscribe({ topic: 'sequences.events', fromBeginning: true })
await consumer.run({
  eachMessage: async ({ message }) => {
    const key = message.key.toString()
    if (message.value === null) return versions.delete(key), console.log(`${key} is gone`)
    const { type, data } = JSON.parse(message.value)
    if (data.state_version <= (versions.get(key) ?? -1)) return // late or repeated: it must not bring back the past
    versions.set(key, data.state_version)
    console.log(`${key} is ${data.status} (${type}, epoch ${data.epoch})`)
  },
})
