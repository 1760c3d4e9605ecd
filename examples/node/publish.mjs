// Sends one command and prints its answer, as: node publish.mjs structured PauseSequence.v1 '{"sequence_id": "welcome"}'
import { randomUUID } from 'node:crypto'
import { Kafka, Partitioners, logLevel } from 'kafkajs'

const [mode, type, json] = process.argv.slice(2)
const [id, data, source] = [randomUUID(), JSON.parse(json), 'node-example']
const brokers = (process.env.SLUICE_KAFKA_BOOTSTRAP_SERVERS ?? 'localhost:9092').split(',')
const kafka = new Kafka({ brokers, logLevel: logLevel.ERROR })
// kafkajs 2's default: murmur2 of the key as in Java. LegacyPartitioner (kafkajs 1) puts a key onto another partition.
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
const [admin, consumer] = [kafka.admin(), kafka.consumer({ groupId: `node-example-${id}` })]
await Promise.all([admin.connect(), producer.connect(), consumer.connect()])
const ends = await admin.fetchTopicOffsets('sequences.answers') // before the command: its answer lies behind them
await consumer.subscribe({ topic: 'sequences.answers' })
const answer = new Promise((found) =>
  consumer.run({ eachMessage: async ({ message }) => message.key?.toString() === id && found(message.value.toString()) }))
for (const { partition, high } of ends) consumer.seek({ topic: 'sequences.answers', partition, offset: high })
const structured = { value: JSON.stringify({ specversion: '1.0', id, source, type, data }) }
const binary = { value: json, headers: { ce_specversion: '1.0', ce_id: id, ce_source: source, ce_type: type } }
const message = { key: data.sequence_id, ...(mode === 'binary' ? binary : structured) }
await producer.send({ topic: 'sequences.commands', messages: [message] })
console.log(await answer)
await Promise.all([admin.disconnect(), producer.disconnect(), consumer.disconnect()])
